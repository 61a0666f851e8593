# SPDX-License-Identifier: Apache-2.0
"""`make demo`: the main job from an empty machine to a locked vault, against local stand-ins for AWS."""

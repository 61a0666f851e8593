# SPDX-License-Identifier: Apache-2.0
"""What `awsvault doctor` knows: every way in which a hook line is silently beaten or broken.

gather.py looks at the machine (and proving.py tries the hooks); checks/ judge what they saw, each a pure function;
mending.py does the safe cures. The command itself is commands/doctor.py.
"""

// SPDX-License-Identifier: Apache-2.0

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider;
import software.amazon.awssdk.auth.credentials.ProfileCredentialsProvider;
import software.amazon.awssdk.services.sts.StsClient;

/**
 * A program that uses AWS's SDK for Java, version 2, as programs do: for every line of stdin it asks who it is, and prints
 * its ARN, or what went wrong. Credentials come from the profile that its argument names, or by the SDK's default chain.
 */
public final class Whoami {
    public static void main(String[] words) throws IOException {
        AwsCredentialsProvider credentials = DefaultCredentialsProvider.builder().build();
        for (var profile : words) {
            credentials = ProfileCredentialsProvider.create(profile);
        }
        try (var client = StsClient.builder().credentialsProvider(credentials).build()) {
            var lines = new BufferedReader(new InputStreamReader(System.in));
            while (lines.readLine() != null) {
                System.out.println(whoami(client));
            }
        }
    }

    private static String whoami(StsClient client) {
        try {
            return client.getCallerIdentity().arn();
        } catch (RuntimeException error) {
            var text = new StringBuilder("error");
            for (Throwable cause = error; cause != null; cause = cause.getCause()) {
                text.append(": ").append(cause.getMessage());
            }
            return text.toString().replace('\n', ' ');
        }
    }
}

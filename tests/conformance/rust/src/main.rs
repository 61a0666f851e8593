// SPDX-License-Identifier: Apache-2.0

//! A program that uses AWS's SDK for Rust as programs do: for every line of stdin it asks who it is, and prints its ARN,
//! or what went wrong. The profile is its argument's, or the environment's.

use std::{env, io};

use aws_sdk_sts::error::DisplayErrorContext;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let http = aws_smithy_http_client::Builder::new().build_http();
    let config = match env::args().nth(1) {
        Some(profile) => aws_config::from_env().profile_name(profile),
        None => aws_config::from_env(),
    };
    let config = config.http_client(http).load().await;
    let client = aws_sdk_sts::Client::new(&config);
    for line in io::stdin().lines() {
        line?;
        match client.get_caller_identity().send().await {
            Ok(identity) => println!("{}", identity.arn().unwrap_or_default()),
            Err(error) => println!("error: {}", DisplayErrorContext(error).to_string().replace('\n', " ")),
        }
    }
    Ok(())
}

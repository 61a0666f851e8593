// SPDX-License-Identifier: Apache-2.0

// Whoami is a program that uses AWS's SDK for Go, version 2, as programs do: for every line of stdin it asks who it is,
// and prints its ARN, or what went wrong. The profile is its argument's, or the environment's.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

func main() {
	ctx := context.Background()
	profile := strings.Join(os.Args[1:], "")
	configuration, err := config.LoadDefaultConfig(ctx, config.WithSharedConfigProfile(profile))
	if err != nil {
		panic(err)
	}
	client := sts.NewFromConfig(configuration)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if identity, err := client.GetCallerIdentity(ctx, nil); err == nil {
			fmt.Println(*identity.Arn)
		} else {
			fmt.Println("error:", strings.ReplaceAll(err.Error(), "\n", " "))
		}
	}
}

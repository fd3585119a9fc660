package main

import "github.com/spf13/cobra"

func blameCommand(streams) *cobra.Command  { return &cobra.Command{Use: "blame"} }
func revertCommand(streams) *cobra.Command { return &cobra.Command{Use: "revert"} }

// Package chart renders Helm charts as Helm does, without a cluster and without the network. A chart is a program that
// a stranger may have written, and Go cannot stop a template that runs: it is rendered by a process of its own, which
// is this very program, started anew.
package chart

//go:build !linux

package main

import "syscall"

// boundSilence leaves the bound to the kernel's own.
func boundSilence(string, string, syscall.RawConn) error { return nil }

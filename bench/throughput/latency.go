package main

func measureLatency(n int) error { return nil }
func playMachine() error         { return nil }
func playEtcd() error            { return nil }
func measureEtcd(n int) error    { return nil }

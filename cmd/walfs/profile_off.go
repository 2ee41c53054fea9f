//go:build !profile

package main

// profile does nothing: only builds with the tag profile watch themselves.
func profile() (stop func()) { return func() {} }

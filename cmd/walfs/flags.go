package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// number is a flag for how many of something there are to be; without it the default counts.
type number int

// Set reads a number above zero.
func (n *number) Set(text string) error {
	i, err := strconv.Atoi(text)
	if err != nil || i < 1 {
		return errors.New("want a number above 0")
	}
	*n = number(i)
	return nil
}

func (n *number) String() string { return strconv.Itoa(int(*n)) }

func (n *number) Type() string { return "int" }

// exclusive refuses a call of cmd with more than one of the flags, and lets completion offer only one.
func exclusive(cmd *cobra.Command, flags ...string) {
	cmd.MarkFlagsMutuallyExclusive(flags...)
	refuseTwo(cmd, flags)
}

// refuseTwo refuses a call of cmd, or of a command below it, with more than one of the flags.
func refuseTwo(cmd *cobra.Command, flags []string) {
	alsoCheck(cmd, func(given []string) error {
		if len(given) > 1 {
			return fmt.Errorf("%s exclude each other", strings.Join(given, " and "))
		}
		return nil
	}, flags)
	for _, sub := range cmd.Commands() {
		refuseTwo(sub, flags)
	}
}

// needOne refuses a call of cmd without any of the flags.
func needOne(cmd *cobra.Command, flags ...string) {
	cmd.MarkFlagsOneRequired(flags...)
	alsoCheck(cmd, func(given []string) error {
		if len(given) == 0 {
			return fmt.Errorf("one of --%s is needed", strings.Join(flags, ", --"))
		}
		return nil
	}, flags)
}

// alsoCheck adds to what cmd checks of its arguments: check gets those of the flags that were given.
// It comes before cobra looks at its groups, whose errors are for programmers.
func alsoCheck(cmd *cobra.Command, check func(given []string) error, flags []string) {
	args := cmd.Args
	cmd.Args = func(cmd *cobra.Command, words []string) error {
		if args != nil {
			if err := args(cmd, words); err != nil {
				return err
			}
		}
		var given []string
		for _, name := range flags {
			if cmd.Flags().Changed(name) {
				given = append(given, "--"+name)
			}
		}
		return check(given)
	}
}

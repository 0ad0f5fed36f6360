// Package inside holds the tests that are run in the machine of `make vm` alone, under the
// tag vm: what its kernel and systemd are, and how the agent does as a service of theirs.
package inside

// Package runtime keeps what should run running.
package runtime

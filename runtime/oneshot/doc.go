// Package oneshot runs tools.
package oneshot

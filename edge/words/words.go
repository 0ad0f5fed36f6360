package words

import (
	"fmt"
	"time"
)

// Span writes a duration with two significant units at the most.
func Span(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + Span(-max(d, -1<<62)) // the least has no opposite
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(100 * time.Microsecond).String()
	case d < time.Minute-50*time.Millisecond:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		d = d.Round(time.Second)
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
	}
}

// Ago is how long before now an instant lies; "-" for none.
func Ago(at, now time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return Span(now.Sub(at)) + " ago"
}

// Size writes a number of bytes in the largest binary unit that keeps it above 1.
func Size(bytes uint64) string {
	const units = "KMGTPE"
	if bytes < 1024 {
		return fmt.Sprintf("%dB", bytes)
	}
	value, unit := float64(bytes)/1024, 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	return fmt.Sprintf("%.1f%ciB", value, units[unit])
}

package host

// WithRandom stands in for getrandom(2).
func (o CheckOptions) WithRandom(random func([]byte, int) (int, error)) CheckOptions {
	o.random = random
	return o
}

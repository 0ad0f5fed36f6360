package filetest

import (
	"os"
	"strconv"
	"sync"
	"testing"
)

// soakEnv multiplies the number of cases of the harnesses.
const soakEnv = "HOLDFAST_SOAK"

// Cases is a number of cases for the ordinary test, or many times more.
func Cases(t testing.TB, ordinary int) int {
	t.Helper()
	if os.Getenv(soakEnv) == "" {
		return ordinary
	}
	times, err := strconv.Atoi(os.Getenv(soakEnv))
	must(t, err)
	return ordinary * times
}

// InParallel runs cases two at a time.
func InParallel(t testing.TB, count int, run func(int) error) {
	t.Helper()
	var wg sync.WaitGroup
	next := make(chan int)
	for range 2 {
		wg.Go(func() {
			for i := range next {
				if err := run(i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range count {
		next <- i
	}
	close(next)
	wg.Wait()
}

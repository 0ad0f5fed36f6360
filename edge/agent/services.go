package agent

import (
	"context"
	"fmt"
)

// service is a part of the agent that runs until its context ends.
type service struct {
	name string
	run  func(context.Context) error
}

// runServices starts the services in order and, when ctx ends or one of them
// does, stops them in reverse order, each fully ended before the next is asked.
// It returns the error of the service that ended first on its own.
func runServices(ctx context.Context, services []service) error {
	ended := make(chan error, len(services)) // one slot each: an end never blocks
	running := make([]runningService, 0, len(services))
	for _, s := range services {
		running = append(running, startService(s, ended))
	}
	var cause error
	select {
	case <-ctx.Done():
	case cause = <-ended:
	}
	for i := len(running) - 1; i >= 0; i-- {
		running[i].stop()
		<-running[i].done
	}
	return cause
}

type runningService struct {
	stop context.CancelFunc
	done chan struct{}
}

func startService(s service, ended chan<- error) runningService {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := s.run(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = fmt.Errorf("%s ended unasked", s.name)
		} else {
			err = fmt.Errorf("%s: %w", s.name, err)
		}
		ended <- err
	}()
	return runningService{stop: cancel, done: done}
}

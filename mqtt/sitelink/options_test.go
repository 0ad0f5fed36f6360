package sitelink_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"holdfast/edge"
	"holdfast/mqtt"
	"holdfast/mqtt/sitelink"
)

func TestNew(t *testing.T) {
	good := func() sitelink.Options {
		return sitelink.Options{Tasks: &tasks{}, Models: catalogue(), Link: linkOptions()}
	}
	if _, err := sitelink.New(good()); err != nil {
		t.Errorf("New returned %v, want nil", err)
	}
	for name, spoil := range map[string]func(*sitelink.Options){
		"NoTasks":       func(o *sitelink.Options) { o.Tasks = nil },
		"NoModels":      func(o *sitelink.Options) { o.Models = nil },
		"NoBroker":      func(o *sitelink.Options) { o.Link.Broker = "" },
		"NoClientID":    func(o *sitelink.Options) { o.Link.ClientID = "" },
		"Subscriptions": func(o *sitelink.Options) { o.Link.Subscriptions = []string{"a"} },
		"Handler":       func(o *sitelink.Options) { o.Link.Handle = func(context.Context, mqtt.Delivery) {} },
		"BelowZero":     func(o *sitelink.Options) { o.VerdictLife = -time.Second },
		"NoRoom":        func(o *sitelink.Options) { o.MaxBytes, o.Link.Tuning.MaxFrame = 1<<20, 1<<20 },
		"FormerNoTopic": func(o *sitelink.Options) { o.Former = []string{"a+"} },
	} {
		t.Run(name, func(t *testing.T) {
			o := good()
			spoil(&o)
			if _, err := sitelink.New(o); err == nil {
				t.Error("New returned nil, want an error")
			}
		})
	}
	t.Run("SaysInvalid", func(t *testing.T) {
		if _, err := sitelink.New(sitelink.Options{}); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("New returned %v, want edge.ErrInvalid", err)
		}
	})
}

package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"holdfast/edge"
	"holdfast/scheduler"
)

const (
	estimatesName = "estimates.json"
	// estimatesEvery is how often what was learnt of models may go to flash, and only
	// when it has moved: a node whose models take what they always took writes nothing.
	estimatesEvery = 10 * time.Minute
	// maxEstimates bounds the file: as many models as are taken back, at 1 KiB and their
	// image's name.
	maxEstimates      = scheduler.KeptModels << 11
	maxEstimatesDepth = 6
)

// estimates keeps what the scheduler has learnt of models across restarts. It is for one
// goroutine at a time: Read at the start, then Run. What cannot be read or written costs
// some runs that are estimated from the declared cost, and no more.
type estimates struct {
	path   string
	images func() map[string]string // of the models served now, as their workloads name them
	learnt func() []scheduler.ModelEstimates
	log    *slog.Logger

	kept []keptEstimates // as it stands in the file
}

// keptEstimates is one model in the file.
type keptEstimates struct {
	Image  string                   `json:"image"` // that took this long
	Learnt scheduler.ModelEstimates `json:"estimates"`
}

type estimatesFile struct {
	Models []keptEstimates `json:"models"`
}

// Read gives what was kept, except of models that another image serves now: its declared
// cost says more. wanted are the images by model as far as they are known; of others
// what was kept is believed, which the scheduler doubts as soon as runs differ.
func (e *estimates) Read(wanted map[string]string) []scheduler.ModelEstimates {
	file, err := readEstimates(e.path)
	if err != nil {
		e.log.Warn("estimates-not-read", "error", err.Error())
		return nil
	}
	var offered []scheduler.ModelEstimates
	for _, k := range file.Models {
		if image, known := wanted[k.Learnt.Model]; known && image != k.Image {
			e.log.Info("estimates-outdated", "model", k.Learnt.Model, "of", k.Image, "now", image)
			continue
		}
		offered = append(offered, k.Learnt)
	}
	good, err := scheduler.CheckEstimates(offered)
	if err != nil {
		e.log.Warn("estimates-not-believed", "error", err.Error())
	}
	e.kept = file.Models
	return good
}

// Run keeps what has moved, now and then and at the end.
func (e *estimates) Run(ctx context.Context) error {
	ticker := time.NewTicker(estimatesEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			e.keep(false)
		case <-ctx.Done():
			e.keep(true)
			return nil
		}
	}
}

// keep writes the file if something in it has moved; at the end, if anything is another.
func (e *estimates) keep(end bool) {
	now := e.now()
	if len(now) == 0 || same(e.kept, now, end) {
		return
	}
	text, err := json.Marshal(estimatesFile{now})
	if err == nil {
		err = replaceFile(e.path, text)
	}
	if err != nil {
		e.log.Warn("estimates-not-kept", "error", err.Error())
		return
	}
	e.kept = now
}

// now is what would be in the file.
func (e *estimates) now() []keptEstimates {
	images := e.images()
	var now []keptEstimates
	for _, m := range e.learnt() {
		if image, served := images[m.Model]; served && len(now) < scheduler.KeptModels {
			now = append(now, keptEstimates{image, m})
		}
	}
	return now
}

// same tells whether two files say the same; not exactly, whether nothing has moved.
func same(before, now []keptEstimates, exactly bool) bool {
	return slices.EqualFunc(before, now, func(a, b keptEstimates) bool {
		if a.Image != b.Image || a.Learnt.Model != b.Learnt.Model {
			return false
		}
		if exactly {
			return slices.Equal(a.Learnt.Runs, b.Learnt.Runs)
		}
		return !moved(a.Learnt.Runs, b.Learnt.Runs)
	})
}

// moved tells whether the runs say something else than before: their middle or their
// slowest tenth is off by more than an eighth, or they are twice as many.
func moved(before, now []time.Duration) bool {
	if len(before) == 0 || len(now) >= 2*len(before) {
		return len(before) != len(now)
	}
	for _, percent := range [...]int{50, 90} {
		was, is := placed(before, percent), placed(now, percent)
		if is < was-was/8 || is > was+was/8 {
			return true
		}
	}
	return false
}

// placed is the run at a place among the sorted ones.
func placed(runs []time.Duration, percent int) time.Duration {
	sorted := slices.Sorted(slices.Values(runs))
	return sorted[(len(sorted)-1)*percent/100]
}

// readEstimates reads the file; one that is not there holds nothing.
func readEstimates(path string) (file estimatesFile, err error) {
	text, err := readRegular(path, maxEstimates)
	if errors.Is(err, fs.ErrNotExist) {
		return file, nil
	}
	if err != nil {
		return file, fmt.Errorf("cannot read estimates: %w", err)
	}
	// Fields of a later agent are left alone: nothing but speed hangs on this file.
	if _, err := edge.DecodeJSON(text, edge.JSONBounds{Size: maxEstimates, Depth: maxEstimatesDepth}, &file); err != nil {
		return estimatesFile{}, fmt.Errorf("cannot read estimates from %q: %w", path, err)
	}
	return file, nil
}

// imagesOf names the image of each model that workloads serve.
func imagesOf(workloads []edge.Workload) map[string]string {
	images := map[string]string{}
	for _, w := range workloads {
		for _, model := range w.Serve.Models() {
			images[model] = w.Image
		}
	}
	return images
}

// newEstimates makes what keeps them. Which images are wanted is known at the start where no policy
// says so; a policy that comes later meets what was learnt before it, as in one run of the agent.
func (a *Agent) newEstimates(in Inputs) (e *estimates, wanted map[string]string) {
	if !in.Trust.Governs() && in.WorkloadsErr == nil {
		wanted = imagesOf(in.Workloads)
	}
	return &estimates{
		path: filepath.Join(in.Config.Paths.State, estimatesName), images: a.servedImages, log: a.options.Log,
		learnt: func() []scheduler.ModelEstimates { return a.scheduler.Estimates() },
	}, wanted
}

// servedImages names the image of each model the node serves.
func (a *Agent) servedImages() map[string]string {
	var workloads []edge.Workload
	for _, view := range a.supervisor.Workloads() {
		workloads = append(workloads, view.Workload)
	}
	return imagesOf(workloads)
}

package inbox

import (
	"cmp"
	"fmt"

	"holdfast/edge"
)

// trouble is what one look has found wrong with a folder.
type trouble struct {
	err   error // it cannot be used
	waits int   // files that wait for long
	why   error // the first of them does
}

// manyTries is from when on a file waits for long: a minute has passed by then.
const manyTries = 8

func (x *trouble) add(f *file) {
	x.err = cmp.Or(x.err, f.failed)
	if f.refused != nil && f.tries >= manyTries {
		x.waits++
		x.why = cmp.Or(x.why, f.refused)
	}
}

// tell shows how the folders stand.
func (b *Inbox) tell(troubles map[string]trouble) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for folder, x := range troubles {
		b.reportLocked(folder, x.err)
		b.tellWaitsLocked(folder, x)
	}
}

func (b *Inbox) tellWaitsLocked(folder string, x trouble) {
	if x.waits == 0 {
		if b.waits[folder] {
			delete(b.waits, folder)
			b.options.Warnings.Clear(WarningWaits, folder)
		}
		return
	}
	b.waits[folder] = true
	b.options.Warnings.Raise(edge.Warning{
		Code: WarningWaits, Subject: folder, Detail: fmt.Sprintf("%d files wait for more than a minute, the oldest as %v", x.waits, x.why),
		Remedy: "see that its model is served and has time enough (holdfast status), or give the trigger another deadline; each is tried again every minute",
	})
}

func (b *Inbox) reportLocked(folder string, err error) {
	if err == nil {
		b.clearLocked(folder)
		return
	}
	b.warned[folder] = true
	b.options.Warnings.Raise(edge.Warning{
		Code: WarningFolder, Subject: folder, Detail: err.Error(),
		Remedy: cmp.Or(edge.HintOf(err), "make the folder, and let the agent write there (the unit's ReadWritePaths); it is looked at again"),
	})
}

func (b *Inbox) clearLocked(folder string) {
	if b.warned[folder] {
		delete(b.warned, folder)
		b.options.Warnings.Clear(WarningFolder, folder)
	}
}

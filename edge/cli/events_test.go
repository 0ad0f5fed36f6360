package cli

import (
	"strings"
	"testing"

	"holdfast/edge"
)

func TestDoor_PrintEvent(t *testing.T) {
	for name, c := range map[string]struct {
		facts map[string]string
		want  string
	}{
		"FactsInOrder":        {map[string]string{"pid": "7", "image": "a"}, "instance-started  line-a-1  image=a  pid=7  because  it ended\n"},
		"DigestInTheImage":    {map[string]string{"image": "a@sha256:12", "digest": "sha256:12"}, "instance-started  line-a-1  image=a@sha256:12  because  it ended\n"},
		"DigestOfItsOwn":      {map[string]string{"image": "a:1", "digest": "sha256:12"}, "instance-started  line-a-1  digest=sha256:12  image=a:1  because  it ended\n"},
		"OneLineForEachEvent": {map[string]string{"how": "a\nb"}, "instance-started  line-a-1  how=a b  because  it ended\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			d := &door{Process: Process{Stdout: &out}}
			if err := d.printEvent(edge.Event{Kind: edge.EventInstanceStarted, Subject: "line-a-1", Facts: c.facts, Cause: "it ended"}); err != nil {
				t.Fatal(err)
			}
			if got := out.String(); !strings.HasSuffix(got, "  "+c.want) {
				t.Errorf("got %q, want it to end in %q", got, c.want)
			}
		})
	}
}

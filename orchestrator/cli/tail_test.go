package cli

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestTailShowsWhatIsNew(t *testing.T) {
	for name, c := range map[string]struct{ texts []string }{
		"it grows":         {[]string{"a\nb\n", "a\nb\nc\n", "a\nb\nc\n"}},
		"half a line":      {[]string{"a\nb", "a\nbc\n"}},
		"nothing at first": {[]string{"", "a\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			tl := &tail{to: &out}
			for _, text := range c.texts {
				if err := tl.show(text); err != nil {
					t.Fatal(err)
				}
			}
			last := c.texts[len(c.texts)-1]
			if got := out.String(); !strings.HasSuffix(got, last) || strings.Count(got, "b") > 1 {
				t.Errorf("%q", got)
			}
		})
	}
	var out strings.Builder
	tl := &tail{to: &out}
	for _, text := range []string{"first boot\n", "second boot\n"} {
		if err := tl.show(text); err != nil {
			t.Fatal(err)
		}
	}
	if got := out.String(); got != "first boot\nsecond boot\n" {
		t.Errorf("a console that began anew: %q", got)
	}
}

// Whatever is written and however far the window has moved on, each line is
// shown once.
func TestTailOfNumberedLines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var whole, out strings.Builder
		tl := &tail{to: &out}
		const window = 2 * memory
		for range rapid.IntRange(1, 20).Draw(t, "rounds") {
			whole.WriteString(strings.Repeat(".", rapid.IntRange(0, 2000).Draw(t, "length")) + "line " + rapid.StringMatching("[0-9]{9}").Draw(t, "number") + "\n")
			text := whole.String()
			if err := tl.show(text[max(0, len(text)-window):]); err != nil {
				t.Fatal(err)
			}
		}
		if out.String() != whole.String() {
			t.Fatalf("shown %q of %q", out.String(), whole.String())
		}
	})
}

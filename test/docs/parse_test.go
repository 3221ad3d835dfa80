package docs

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"testing"
)

// document is a Markdown file, taken apart as far as the tests need.
type document struct {
	name   string
	fences []fence
	spans  []span // `code` in running text
	links  []span // to files of the repository
}

type fence struct {
	language string
	line     int // of its first line of text
	lines    []string
}

func (f fence) text() string { return strings.Join(f.lines, "\n") + "\n" }

// span is a piece of text. folder: it stands in the first column of a table
// whose head is "folder".
type span struct {
	text   string
	line   int
	folder bool
}

var (
	codeSpan = regexp.MustCompile("`([^`]+)`")
	fileLink = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
)

func parse(name, text string) (document, error) {
	d := document{name: name}
	var open *fence
	inFolders := false
	for i, line := range strings.Split(text, "\n") {
		number := i + 1
		if mark, ok := strings.CutPrefix(strings.TrimSpace(line), "```"); ok {
			if open == nil {
				open = &fence{language: strings.TrimSpace(mark), line: number + 1}
			} else {
				d.fences = append(d.fences, *open)
				open = nil
			}
			continue
		}
		if open != nil {
			open.lines = append(open.lines, line)
			continue
		}
		row := strings.HasPrefix(line, "|")
		inFolders = row && (inFolders || strings.HasPrefix(line, "| folder"))
		d.addSpans(line, number, inFolders)
	}
	if open != nil {
		return d, fmt.Errorf("%s:%d: a code block is not closed", name, open.line)
	}
	return d, nil
}

func (d *document) addSpans(line string, number int, folders bool) {
	first := 0
	if folders {
		first = 1 + strings.Index(line[1:], "|")
	}
	for _, m := range codeSpan.FindAllStringSubmatchIndex(line, -1) {
		d.spans = append(d.spans, span{line[m[2]:m[3]], number, m[0] < first})
	}
	for _, m := range fileLink.FindAllStringSubmatch(line, -1) {
		d.links = append(d.links, span{text: m[1], line: number})
	}
}

// command is one call of a program.
type command struct {
	words []string
	line  int
}

// commands are the calls of a program in code blocks and in running text.
func (d document) commands(program string) []command {
	var all []command
	collect := func(text string, line int) {
		for _, words := range shellCommands(text) {
			if len(words) > 0 && path.Base(words[0]) == program {
				all = append(all, command{words, line})
			}
		}
	}
	for _, f := range d.fences {
		if f.language == "yaml" || f.language == "go" || f.language == "json" {
			continue
		}
		for i := 0; i < len(f.lines); i++ {
			line, first := f.lines[i], i
			for strings.HasSuffix(line, `\`) && i+1 < len(f.lines) {
				i++
				line = strings.TrimSuffix(line, `\`) + f.lines[i]
			}
			collect(line, f.line+first)
		}
	}
	for _, s := range d.spans {
		collect(s.text, s.line)
	}
	return all
}

// shellCommands splits a line at pipes and the like, into words without quotes.
// Prompts, variables before a command and sudo are left out.
func shellCommands(line string) [][]string {
	var all [][]string
	var words []string
	end := func() {
		for len(words) > 0 && (words[0] == "$" || words[0] == "sudo" || strings.Contains(words[0], "=")) {
			words = words[1:]
		}
		if len(words) > 0 {
			all = append(all, words)
		}
		words = nil
	}
	for _, w := range tokens(line) {
		switch w.text {
		case "|", "&", ";", "&&", "||":
			if !w.quoted {
				end()
				continue
			}
		}
		words = append(words, w.text)
	}
	end()
	for i, words := range all { // what goes to and from files is no argument
		for j, word := range words {
			if strings.HasPrefix(word, ">") || strings.HasPrefix(word, "<") && !strings.HasSuffix(word, ">") {
				all[i] = words[:j]
				break
			}
		}
	}
	return all
}

type shellWord struct {
	text   string
	quoted bool
}

func tokens(line string) []shellWord {
	var all []shellWord
	var word strings.Builder
	started, quoted := false, false
	var quote rune
	end := func() {
		if started {
			all = append(all, shellWord{word.String(), quoted})
		}
		word.Reset()
		started, quoted = false, false
	}
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, started, quoted = r, true, true
		case r == ' ' || r == '\t':
			end()
		case r == '#' && !started:
			return all
		case r == ';':
			end()
			all = append(all, shellWord{text: ";"})
		default:
			word.WriteRune(r)
			started = true
		}
	}
	end()
	return all
}

func TestShellCommands(t *testing.T) {
	for line, want := range map[string]string{
		"sluice zone list":                           "[[sluice zone list]]",
		"$ sudo A=b bin/sluice server & # comment":   "[[bin/sluice server]]",
		"sluice export | sluice apply -f - > x":      "[[sluice export] [sluice apply -f -]]",
		"make image install; sluice version":         "[[make image install] [sluice version]]",
		`sluice zone create "a  b" --description ''`: "[[sluice zone create a  b --description ]]",
		"# only a comment":                           "[]",
	} {
		if got := fmt.Sprint(shellCommands(line)); got != want {
			t.Errorf("%s: got %s, want %s", line, got, want)
		}
	}
}

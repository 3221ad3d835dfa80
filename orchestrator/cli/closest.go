package cli

import "strings"

// closest is the candidate that a mistyped word most likely stands for, or
// empty: at most every third letter is wrong, or it is a beginning.
func closest(word string, candidates []string) string {
	best, found := max(1, len(word)/3)+1, ""
	for _, c := range candidates {
		if d := distance(word, c); d < best {
			best, found = d, c
		}
	}
	if found != "" || len(word) < 2 {
		return found
	}
	for _, c := range candidates {
		if strings.HasPrefix(c, word) {
			return c
		}
	}
	return ""
}

// didYouMean is a question to append to a message, or nothing.
func didYouMean(word string, candidates []string) string {
	if c := closest(word, candidates); c != "" {
		return "; did you mean " + c + "?"
	}
	return ""
}

// distance is how many letters have to be put in, taken out, replaced or
// swapped with the next to make a of b (optimal string alignment).
func distance(a, b string) int {
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range b {
			replace := row[j]
			if a[i] != b[j] {
				replace++
			}
			next[j+1] = min(replace, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}

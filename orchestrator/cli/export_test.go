package cli

import "testing"

func TestWholeNetwork(t *testing.T) {
	r := func(cidr, gateway, start, end string) any {
		return object{"networkCidr": cidr, "gateway": gateway, "startIp": start, "endIp": end}
	}
	for name, c := range map[string]struct {
		ranges []any
		want   bool
	}{
		"none":             {nil, false},
		"gateway first":    {[]any{r("10.0.0.0/24", "10.0.0.1", "10.0.0.2", "10.0.0.254")}, true},
		"gateway last":     {[]any{r("10.0.0.0/24", "10.0.0.254", "10.0.0.1", "10.0.0.253")}, true},
		"gateway between":  {[]any{r("10.0.0.0/29", "10.0.0.3", "10.0.0.4", "10.0.0.6"), r("10.0.0.0/29", "10.0.0.3", "10.0.0.1", "10.0.0.2")}, true},
		"half of it":       {[]any{r("10.0.0.0/29", "10.0.0.3", "10.0.0.4", "10.0.0.6")}, false},
		"not to the end":   {[]any{r("10.0.0.0/24", "10.0.0.1", "10.0.0.2", "10.0.0.253")}, false},
		"smallest":         {[]any{r("10.0.0.4/30", "10.0.0.5", "10.0.0.6", "10.0.0.6")}, true},
		"largest":          {[]any{r("0.0.0.0/0", "0.0.0.1", "0.0.0.2", "255.255.255.254")}, true},
		"nothing readable": {[]any{r("x", "y", "", "")}, false},
	} {
		if _, _, got := wholeNetwork(object{"ipRanges": c.ranges}); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

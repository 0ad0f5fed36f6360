package rauc

// DescribedBy has a file say which systems there are.
func (t *Tool) DescribedBy(file string) *Tool {
	t.describe = []string{file}
	return t
}

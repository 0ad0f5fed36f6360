package slots

// Generation is the number of the newest record; 0: there is none.
func Generation(s *Store) uint64 {
	found, _ := s.read()
	return found.newest.Generation
}

// Decode reads a record and writes it again.
func Decode(file []byte) (again []byte, err error) {
	r, err := decode(file)
	if err != nil {
		return nil, err
	}
	return r.encode()
}

// EarlyEnds is after how many early ends a confirmed version is left.
const EarlyEnds = earlyEnds

// MaxBad is how many bad versions are remembered.
const MaxBad = maxBad

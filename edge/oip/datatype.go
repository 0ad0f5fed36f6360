package oip

import (
	"encoding/binary"
	"math"
)

// datatype is what the protocol says of one datatype.
type datatype struct {
	name  string
	size  int64 // bytes of one element; 0: each has a length of its own
	kinds kind  // JSON values an element may be written as
}

// datatypes lists every one the protocol names.
var datatypes = [...]datatype{
	{"BOOL", 1, kindBool},
	{"UINT8", 1, kindNumber},
	{"UINT16", 2, kindNumber},
	{"UINT32", 4, kindNumber},
	{"UINT64", 8, kindNumber},
	{"INT8", 1, kindNumber},
	{"INT16", 2, kindNumber},
	{"INT32", 4, kindNumber},
	{"INT64", 8, kindNumber},
	{"FP16", 2, kindNumber},
	{"BF16", 2, kindNumber},
	{"FP32", 4, kindNumber},
	{"FP64", 8, kindNumber},
	{"BYTES", 0, kindString},
}

func datatypeOf(name string) (datatype, bool) {
	for _, d := range datatypes {
		if d.name == name {
			return d, true
		}
	}
	return datatype{}, false
}

// datatype reads the name of a datatype.
func (c *cursor) datatype() (string, error) {
	name, err := c.text()
	if err != nil {
		return "", err
	}
	d, known := datatypeOf(name)
	if !known {
		return "", c.fail("%.20q is none of BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64, FP16, BF16, FP32, FP64, BYTES", name)
	}
	return d.name, nil
}

// elements multiplies a shape; false when the product does not fit. An answer may
// have dimensions of 0: nothing was found.
func elements(shape []int64) (int64, bool) {
	product := int64(1)
	for _, n := range shape {
		if n < 0 || n > 0 && product > math.MaxInt64/n {
			return 0, false
		}
		product *= n
	}
	return product, true
}

// countStrings counts the elements of a binary BYTES tensor, each of which
// stands behind its length as four bytes, little end first. False: they do not
// come out even.
func countStrings(data []byte) (int64, bool) {
	var count int64
	for ; len(data) >= 4; count++ {
		size := uint64(binary.LittleEndian.Uint32(data))
		if size > uint64(len(data)-4) {
			return count, false
		}
		data = data[4+size:]
	}
	return count, len(data) == 0
}

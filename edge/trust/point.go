package trust

import (
	"crypto/ed25519"
	"errors"
	"math/big"
	"slices"
)

// checkPoint tells whether a public key is a point one may verify with: encoded in
// its one canonical way, on the curve, and not one of the eight points of small
// order, under which anybody can make signatures that fit many messages. The
// standard library verifies with all of those.
//
// It is arithmetic on public values, done once for each key of a root document, so
// it need be neither constant in time nor fast.
func checkPoint(public ed25519.PublicKey) error {
	if len(public) != ed25519.PublicKeySize {
		return errors.New("a public key has 32 bytes")
	}
	curve := newCurve()
	y, sign := decodePoint(public)
	if y.Cmp(curve.p) >= 0 {
		return errors.New("the public key is not encoded canonically")
	}
	yy := curve.mul(y, y)
	xx := curve.xSquared(yy)
	if xx.Sign() != 0 && big.Jacobi(xx, curve.p) != 1 {
		return errors.New("the public key is not on the curve")
	}
	if xx.Sign() == 0 && sign {
		return errors.New("the public key is not encoded canonically")
	}
	for range 3 { // eight times the point
		y = curve.doubled(yy)
		yy = curve.mul(y, y)
	}
	if y.Cmp(big.NewInt(1)) == 0 { // only the neutral point has y = 1
		return errors.New("the public key has a small order: anybody could sign for it")
	}
	return nil
}

// decodePoint splits an encoding (RFC 8032, 5.1.2) into y and the sign of x.
func decodePoint(public ed25519.PublicKey) (y *big.Int, sign bool) {
	bytes := slices.Clone(public)
	sign = bytes[31]&0x80 != 0
	bytes[31] &= 0x7f
	slices.Reverse(bytes) // little-endian on the wire
	return new(big.Int).SetBytes(bytes), sign
}

// curve is edwards25519: −x² + y² = 1 + d·x²·y² modulo p = 2²⁵⁵ − 19, with
// d = −121665/121666 (RFC 8032, 5.1).
type curve struct{ p, d *big.Int }

func newCurve() curve {
	p := new(big.Int).Lsh(big.NewInt(1), 255)
	p.Sub(p, big.NewInt(19))
	c := curve{p: p}
	c.d = c.div(big.NewInt(-121665), big.NewInt(121666))
	return c
}

func (c curve) mul(a, b *big.Int) *big.Int {
	out := new(big.Int).Mul(a, b)
	return out.Mod(out, c.p)
}

func (c curve) div(a, b *big.Int) *big.Int {
	return c.mul(a, new(big.Int).ModInverse(b, c.p))
}

// xSquared solves the curve's equation: x² = (y² − 1) / (d·y² + 1). The divisor is
// never zero, because −1/d is no square.
func (c curve) xSquared(yy *big.Int) *big.Int {
	one := big.NewInt(1)
	return c.div(new(big.Int).Sub(yy, one), new(big.Int).Add(c.mul(c.d, yy), one))
}

// doubled is y of twice the point whose y² is given. The addition law needs x only
// as a square: y(2P) = (y² + x²) / (1 − d·x²·y²).
func (c curve) doubled(yy *big.Int) *big.Int {
	xx := c.xSquared(yy)
	product := c.mul(c.d, c.mul(xx, yy))
	return c.div(new(big.Int).Add(yy, xx), new(big.Int).Sub(big.NewInt(1), product))
}

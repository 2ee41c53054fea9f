package bls_test

import blst "github.com/supranational/blst/bindings/go"

// onCurve reports whether b is a compressed point of G1's or G2's curve, in the subgroup or not.
func onCurve(b []byte) bool {
	if len(b) == 48 {
		return new(blst.P1Affine).Uncompress(b) != nil
	}
	return new(blst.P2Affine).Uncompress(b) != nil
}

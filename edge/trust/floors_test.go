package trust_test

import (
	"testing"

	"holdfast/edge/trust"
)

func TestFloors(t *testing.T) {
	root := firstRoot(t)
	floors := trust.Floors{}.Raise(root, trust.RolePolicy, 5)
	t.Run("NothingYet", func(t *testing.T) {
		if err := trust.Floors(nil).Check(root, trust.RolePolicy, 0); err != nil {
			t.Error(err)
		}
	})
	t.Run("LowerIsRefused", func(t *testing.T) { expect(t, floors.Check(root, trust.RolePolicy, 4), trust.ReasonRollback) })
	t.Run("TheSameAgain", func(t *testing.T) {
		if err := floors.Check(root, trust.RolePolicy, 5); err != nil {
			t.Error(err)
		}
	})
	t.Run("RolesAreApart", func(t *testing.T) {
		if err := floors.Check(root, trust.RoleRelease, 1); err != nil {
			t.Error(err)
		}
	})
	t.Run("RaiseNeverLowers", func(t *testing.T) {
		if got := floors.Raise(root, trust.RolePolicy, 3).Of(root, trust.RolePolicy); got != 5 {
			t.Errorf("floor = %d, want 5", got)
		}
	})
	t.Run("RaiseLeavesTheOldValue", func(t *testing.T) {
		floors.Raise(root, trust.RolePolicy, 9)
		if got := floors.Of(root, trust.RolePolicy); got != 5 {
			t.Errorf("floor = %d, want 5", got)
		}
	})
	t.Run("SurvivesAReboot", func(t *testing.T) {
		expect(t, reboot(t, floors).Check(root, trust.RolePolicy, 4), trust.ReasonRollback)
	})
	t.Run("FastForwardRecovery", func(t *testing.T) {
		const last = 1<<53 - 1 // what a thief signs
		stolen := floors.Raise(root, trust.RolePolicy, last)
		expect(t, stolen.Check(root, trust.RolePolicy, 6), trust.ReasonRollback)
		rotated := rootOf(t, 2, []byte{rootA, rootB, rootC}, []byte{14, 15, 16})
		if err := stolen.Check(rotated, trust.RolePolicy, 6); err != nil {
			t.Errorf("after the rotation: %v", err)
		}
		raised := stolen.Raise(rotated, trust.RolePolicy, 6)
		expect(t, raised.Check(rotated, trust.RolePolicy, 5), trust.ReasonRollback)
	})
	t.Run("OtherRolesKeepTheirFloor", func(t *testing.T) {
		kept := floors.Raise(root, trust.RoleRelease, 8)
		rotated := rootOf(t, 2, []byte{rootA, rootB, rootC}, []byte{14, 15, 16})
		expect(t, kept.Check(rotated, trust.RoleRelease, 7), trust.ReasonRollback)
	})
	t.Run("TheRootCannotResetItsOwn", func(t *testing.T) {
		current := rootOf(t, 2, []byte{4, 5, 6}, []byte{policyA})
		expect(t, floors.Raise(current, trust.RoleRoot, 2).Check(root, trust.RoleRoot, 1), trust.ReasonRollback)
	})
	t.Run("ThresholdAloneResetsNothing", func(t *testing.T) {
		changed := rootOf(t, 2, []byte{rootA, rootB, rootC}, []byte{policyA, policyB, policyC})
		grant := changed.Roles[trust.RolePolicy]
		grant.Threshold = 3
		changed.Roles[trust.RolePolicy] = grant
		expect(t, floors.Check(changed, trust.RolePolicy, 4), trust.ReasonRollback)
	})
}

package policycache

import (
	"path/filepath"

	"holdfast/edge/boltfile"
)

// KeptRoot is the name of the node's copy, in the folder of its state, of the root
// document it came with. Whether to believe it is for whoever reads it to say.
const KeptRoot = "root.kept"

// KeepRoot writes that copy.
func KeepRoot(dir string, envelope []byte) error {
	return boltfile.Replace(boltfile.RealDisk{}, filepath.Join(dir, KeptRoot), envelope)
}

// Traces names the files that only a node has which policies govern.
func Traces() []string {
	return []string{KeptRoot, "policy." + slotNames[0], "policy." + slotNames[1], databaseName}
}

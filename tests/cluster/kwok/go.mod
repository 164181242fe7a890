// Nodes and pods that only say that they run: what a control plane sees of a large cluster.
module leeward.test/cluster/kwok

go 1.26.0

require sigs.k8s.io/kwok v0.7.0

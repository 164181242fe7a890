module leeward.test/cluster/pause

go 1.24

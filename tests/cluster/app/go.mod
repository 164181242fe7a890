module leeward.test/cluster/app

go 1.24

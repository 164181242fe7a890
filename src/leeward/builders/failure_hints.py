"""What to do next, where many failures have the same answer. Pure."""

LOCK = "run the package manager where you work and commit the new lock file"
HEADERS = "add the system packages that it needs to 'build: packages:', or use a version with ready wheels"
HERE = "run the build where you work, and correct what it says"
EXISTS = "choose a version that exists"

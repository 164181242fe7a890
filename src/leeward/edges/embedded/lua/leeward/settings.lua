-- What the master was started with.

return {https_suffix = "", prefix = "", socket = "", wake_s = 30}

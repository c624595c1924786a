"""Which proxy mode a node is in, and what other modes have left behind: from the kernel and from the proxy itself."""

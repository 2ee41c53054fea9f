package seal

// ParseIdentities reads the content of an identity file.
var ParseIdentities = parseIdentities

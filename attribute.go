package gantry

import "regexp"

// MaxAttribute bounds the name of a custom attribute of a container instance, and its
// value, in characters.
const MaxAttribute = 128

var (
	attributeName  = regexp.MustCompile(`^[a-zA-Z0-9_./\\-]+$`)
	attributeValue = regexp.MustCompile(`^[a-zA-Z0-9_./\\@:-]([a-zA-Z0-9_./\\@: -]*[a-zA-Z0-9_./\\@:-])?$`)
)

// IsAttributeName says whether a custom attribute may have that name: 1 to [MaxAttribute]
// letters, digits and - _ . / \.
func IsAttributeName(name string) bool {
	return len(name) <= MaxAttribute && attributeName.MatchString(name)
}

// IsAttributeValue says whether an attribute may have that value, which is not the empty
// one: 1 to [MaxAttribute] letters, digits and - _ . / \ @ :, with spaces between them.
func IsAttributeValue(value string) bool {
	return len(value) <= MaxAttribute && attributeValue.MatchString(value)
}

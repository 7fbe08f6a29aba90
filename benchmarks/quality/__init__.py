"""`make quality`: what people see and hear on bad networks, measured in namespaces of our own."""

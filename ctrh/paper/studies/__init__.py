"""The studies of the article: what each part, setting, backbone, guide and reading is worth."""

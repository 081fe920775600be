"""The heads, by the word that chooses each. Looking at the words imports no torch."""

HEADS: dict[str, str] = {
    "ssd": "densenets.heads.ssd:SSD",
    "ssdlite": "densenets.heads.ssd:SSDLite",
}

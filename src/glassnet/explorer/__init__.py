"""The local web app: a point of an embedding, its picture, its maps and its layer, one click apart.

Nothing here loads torch before the page is served.
"""

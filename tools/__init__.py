"""The project's tools: in the tree `python -m tools.NAME`, installed `vigie_tools`; inside, only relative imports."""

"""The page and the HTTP server: nodes for administrators, live, in English and French; metrics and health for machines."""

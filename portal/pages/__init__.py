"""What people see, in a browser. Pages know the domain; the domain knows no page."""

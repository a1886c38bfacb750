"""Does the work through `ports.py`; knows neither the driver nor the terminal."""

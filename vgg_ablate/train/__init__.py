"""One run: its data, its training, its test. Knows neither Optuna nor the terminal."""

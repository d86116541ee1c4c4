"""The real clients, each in a virtual environment of its own: ./run_tests.sh interop [client...]."""

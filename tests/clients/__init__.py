"""The real clients, each in an environment of its own: ./run_tests.sh interop [client...]."""

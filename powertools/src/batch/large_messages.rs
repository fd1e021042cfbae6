//! Messages whose bodies are in S3.

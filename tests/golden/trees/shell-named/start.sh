exec sh scripts/serve.sh

transmla plan sample --target phone-browser
